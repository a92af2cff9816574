; style: soft
    pushfd
    popfd
    hlt
