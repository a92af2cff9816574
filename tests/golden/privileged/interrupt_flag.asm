    cli
    sti
    pushfd
    popfd
    hlt
