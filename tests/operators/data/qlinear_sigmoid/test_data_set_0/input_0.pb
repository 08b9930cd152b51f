Bx0J
hÔU
ê¢údd