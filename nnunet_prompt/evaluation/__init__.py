"""Metrics of one mask and of a folder of predictions.

surfaces     surface voxels and the distances between them
metrics      Dice, Hausdorff distances, ASSD and volume error of two masks or label maps
lesions      connected components, matched
measures     all metrics of labels and unions in one image
options      tolerances, unions, lesion-wise structures, groups and table
conventions  what the metrics count, as metrics.json states it
pairs        which prediction belongs to which label file, and what is refused
names        the names of label values, and the ignore label
results      the form of metrics.json, the table and its notes
groups       scores by centre, vendor or another column
tables       the CSV
calibration  expected calibration error, Brier score and reliability table
reliability  calibration of a folder of probability maps, and its diagram
readers      agreement of several readers, beside the model's with each
crps         a volume against those of several readers
extras       what is made of finished scores
processes    many cases in one or several processes
resume       finished cases of a run that was stopped
case         scores one case
added        metrics of other packages
folders      scores the pairs of two folders
evaluate     the same for Python: folders, files or arrays
"""
