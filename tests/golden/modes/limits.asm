; mode: limits
mov eax, [ebx + ecx * 4 + 8]
mov [ebp - 4], ah
inc dword [es:edi]
mov dl, [cs:ebx]
mov [cs:ebx], dl
push dword [ebx]
pop ecx
push word 7
lodsd
rep movsd
leave
call eax
ret 8
