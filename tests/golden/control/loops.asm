again:
    nop
    loop again
    jecxz ahead
    nop
ahead:
    loopne again
