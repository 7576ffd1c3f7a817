from vnemu.results.run_view import RunView as RunView
from vnemu.results.run_view import open_run as open_run
from vnemu.sessions.launch import connect as connect
from vnemu.sessions.launch import labs as labs
from vnemu.sessions.launch import run as run
from vnemu.sessions.launch import up as up
from vnemu.sessions.remote import RemoteLab as RemoteLab

__version__: str
