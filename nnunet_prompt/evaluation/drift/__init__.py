"""Whether predictions of today look like those of a reference, without labels."""
