retf
