By0J
x\Z`ÖV«ho×