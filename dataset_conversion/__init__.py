"""One script per source data set: each makes of a download a stream of `Case` and writes nnU-Net raw data."""
