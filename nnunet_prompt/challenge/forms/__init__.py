"""Forms of `submit` beside CARE's: the job folders that other challenge platforms hand to a container.

    grand-challenge   INPUT/inputs.json lists sockets, images lie at INPUT/images/<slug>/    grand_challenge.py
    autopet           the same folders without inputs.json, in rounds                        autopet.py
    cvpr              INPUT/*.npz with images, boxes, clicks and the mask before             cvpr.py

Each makes a `Job` of what it finds, `answer` is what the network does with it, and the form writes the masks.
"""
