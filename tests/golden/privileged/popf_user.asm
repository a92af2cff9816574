; privilege: user
    popfd
    cli
