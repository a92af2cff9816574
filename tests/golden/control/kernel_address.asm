; origin: 0xc0100000
    inc eax
    jmp near 0xc0101000
    call near 0xc0000000
