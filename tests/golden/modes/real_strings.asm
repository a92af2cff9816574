; mode: real
bits 16
lodsb
stosw
movsb
cs movsd
cmpsb
scasw
rep movsb
again:
loop again
o32 loopne again
jcxz again
