; privilege: user
; style: soft
; At CPL 3 a load is checked against the CPL: descriptors have a tag for each ring.
    push fs
    pop fs
    mov es, eax
    div ecx
    mov ds, cx
