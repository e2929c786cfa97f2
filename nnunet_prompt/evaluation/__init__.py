"""Metrics of one mask and of a folder of predictions.

metrics    Dice, Hausdorff distances, ASSD and volume error of two masks or label maps (numpy, scipy)
pairs      which prediction belongs to which label file, and what is refused
names      the names of label values, and the ignore label
results    the form of metrics.json, the table and its notes
processes  many cases in one or several processes
case       scores one case
added      metrics of other packages
folders    scores the pairs of two folders
evaluate   the same for Python: folders, files or arrays
"""
