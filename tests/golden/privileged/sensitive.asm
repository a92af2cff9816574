; Each a unit of its own, for the interpreter.
    sgdt [eax]
    smsw ax
    str ax
    lar eax, ecx
    mov ds, eax
    push es
    int 0x80
    iretd
    in al, 0x60
    cpuid
