; The one-byte INC and DEC are REX prefixes in 64-bit code.
    inc eax
    dec esp
    inc sp
    dec di
    hlt
