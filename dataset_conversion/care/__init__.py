"""The CARE challenges' data: found, checked, converted."""
