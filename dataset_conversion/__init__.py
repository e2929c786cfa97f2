"""One script per source data set: each turns a download into a stream of `Case` and writes nnU-Net raw data."""
