; To ring 3: what the stub does, the monitor does while that ring is closed.
    sti
    sysexit
