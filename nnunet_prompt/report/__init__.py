"""Reports that people look at: one HTML file that opens offline, of masks or of a training.

masks      the report of one or two folders of masks
training   the report of a training: curves, validation by kind of prompt, the prompts as the network saw them
options    what a report is made from
study      the scores of the masks, by case, structure, metric and group
numbers    means, bootstrap intervals and paired differences
words      the title, unit and direction of a metric
tables     the rows of the tables
charts     the charts, as SVG
svg        figures of matplotlib as parts of a page
pictures   the slices of a case: image, prompts and outlines
outlines   outlines and prompts as SVG paths
log_file   nnU-Net's training log
as_seen    the prompts as the network saw them
made_by    commands, versions, models and licences
page       fills the templates
"""
