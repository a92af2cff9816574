; Segment registers at CPL 0: pushed and read inline, loaded from noted descriptors or by callout.
    push fs
    mov ax, ds
    mov ds, ax
    mov es, [ebx]
    pop gs
    o16 push es
    o16 pop es
    pop ss
