"""How good are the masks: metrics of one mask, and of a folder of predictions.

metrics   Dice, Hausdorff distances, ASSD and volume error of two masks or label maps (numpy, scipy)
folders   match label files and predictions by case, score them, write metrics.json
"""
