; style: soft
    rep stosd
