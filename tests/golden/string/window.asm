    rep movsd
    stosb
    lodsw
    repne scasb
    repe cmpsb
    hlt
