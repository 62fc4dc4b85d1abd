"""Building a zoo: units, who trains them, packing, extending, rebuilding."""
