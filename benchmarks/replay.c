/* Carries out a prepared recording of namespaces and netlink requests, and times it.
 *
 * The recording (made by recording.py) is a row of records: kind, target, length
 * (32 bits each, in the machine's order), then `length` bytes padded to 4. `target` is the
 * file descriptor that the namespace gets, since requests name namespaces by it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ENTER = 1, SYSCTL = 2, LEAVE = 3, SEND = 4 };
enum { MOST = 65536, BUFFER = 4 << 20 };

struct record {
    uint32_t kind, target, length;
};

static int sockets[MOST];
static char answer[1 << 18];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void enter(int target) {
    if (unshare(CLONE_NEWNET)) fail("unshare");
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || dup3(fd, target, O_CLOEXEC) < 0) fail("open namespace");
    close(fd);
}

static void set(const char *path) {
    const char *value = path + strlen(path) + 1;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, strlen(value)) < 0) fail(path);
    close(fd);
}

static void leave(int target, int home) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
    int one = 1, size = BUFFER;
    struct sockaddr_nl local = {.nl_family = AF_NETLINK};
    if (fd < 0) fail("socket");
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    if (bind(fd, (struct sockaddr *)&local, sizeof local)) fail("bind");
    sockets[target] = fd;
    if (setns(home, CLONE_NEWNET)) fail("setns");
}

/* The last request of a batch asks for an acknowledgement; earlier ones answer errors only. */
static void transmit(int fd, const char *data, uint32_t length, uint32_t last) {
    if (send(fd, data, length, 0) < 0) fail("send");
    for (;;) {
        int size = recv(fd, answer, sizeof answer, 0);
        if (size < 0) fail("recv");
        for (struct nlmsghdr *m = (void *)answer; NLMSG_OK(m, size); m = NLMSG_NEXT(m, size)) {
            int error = ((struct nlmsgerr *)NLMSG_DATA(m))->error;
            if (m->nlmsg_type != NLMSG_ERROR) continue;
            if (error) {
                errno = -error;
                fail("a request was refused");
            }
            if (m->nlmsg_seq == last) return;
        }
    }
}

static uint32_t last_sequence(const char *data, uint32_t length) {
    uint32_t offset = 0, sequence = 0;
    while (offset < length) {
        const struct nlmsghdr *m = (const void *)(data + offset);
        sequence = m->nlmsg_seq;
        offset += NLMSG_ALIGN(m->nlmsg_len);
    }
    return sequence;
}

static void carry_out(const char *data, const char *end, int home) {
    while (data < end) {
        const struct record *r = (const void *)data;
        const char *body = data + sizeof *r;
        if (r->target >= MOST) fail("target");
        if (r->kind == ENTER) enter(r->target);
        if (r->kind == SYSCTL) set(body);
        if (r->kind == LEAVE) leave(r->target, home);
        if (r->kind == SEND)
            transmit(sockets[r->target], body, r->length, last_sequence(body, r->length));
        data = body + ((r->length + 3) & ~3u);
    }
}

static void drop_all(void) {
    for (int target = 0; target < MOST; target++)
        if (sockets[target]) {
            close(sockets[target]);
            close(target);
        }
}

int main(int count, char **words) {
    struct stat status;
    int file = count == 2 ? open(words[1], O_RDONLY) : -1;
    if (file < 0 || fstat(file, &status)) fail("usage: replay RECORDING");
    char *data = malloc(status.st_size);
    if (!data || read(file, data, status.st_size) != status.st_size) fail("read");
    int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    double start = now();
    carry_out(data, data + status.st_size, home);
    double up = now();
    drop_all();
    printf("{\"up_s\": %.6f, \"down_s\": %.6f}\n", up - start, now() - up);
    return 0;
}
