; privilege: user
; style: soft
; At CPL 3 a load is checked against the CPL: always a callout.
    push fs
    pop fs
    mov es, eax
    div ecx
