; mode: null es
mov eax, [ebx + 8]
mov [es:edi], eax
push eax
lodsd
rep stosd
mov ecx, [ebp - 4]
call there
there:
ret
