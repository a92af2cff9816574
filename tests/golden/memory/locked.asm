    lock add dword [ebx], 1
    lock cmpxchg [ecx], edx
    lock cmpxchg8b [esi]
    xchg [edi], esp
    hlt
