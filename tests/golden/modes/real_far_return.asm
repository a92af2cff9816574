; mode: real
bits 16
retf 4
