"""From a run folder to statistics, plots and the report; needs no lab and no root."""
