"""Virtual machines with OpenZFS to test on: the image, its boot, and the way in."""
