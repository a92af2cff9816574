; privilege: user
; To ring 0, and what a program may ask the processor.
    cpuid
    sysenter
