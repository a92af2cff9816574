; exit: 0
; serial: in a file
;
; REP STOS and REP MOVS that overwrite themselves go on as what they were until an interrupt or a
; fault stops them, as on silicon (docs/limitations.md, L29); then what is there now runs. In ring 0
; and ring 3, first run and repeated.
%include "report.inc"
CODE equ 0x220080
SOURCE equ 0x230000
%macro O 4                               ; name, opcode with REP, its ECX, bytes an iteration
  mov dword [opcode], %2
  mov dword [count], %3
  mov dword [bytes], (%3) * %4
  SAY %1, ":"
  call try
%endmacro
main:
  mov dword [ring], 0
.again:
  O "stosb 8", 0xaaf3, 8, 1
  O "stosb 100", 0xaaf3, 100, 1
  O "stosb 4000", 0xaaf3, 4000, 1
  O "stosd 25", 0xabf3, 25, 4
  O "stosd 1000", 0xabf3, 1000, 4
  O "movsb 100", 0xa4f3, 100, 1
  O "movsb 4000", 0xa4f3, 4000, 1
  O "movsd 25", 0xa5f3, 25, 4
  cmp dword [ring], 3
  mov dword [ring], 3
  jne .again
  ret

try:                                     ; thrice, so that it has been translated
  mov dword [rounds], 3
.round:
  mov edi, 0x220000                      ; NOPs, the instruction, INT 0x44
  mov ecx, 0x2000
  mov al, 0x90
  rep stosb
  mov edi, SOURCE
  mov ecx, 0x2000
  rep stosb
  mov eax, [opcode]
  mov [CODE], ax
  mov esi, [bytes]
  mov word [CODE - 4 + esi], 0x44cd
  TRY
  mov edi, CODE - 4
  mov esi, SOURCE
  mov ecx, [count]
  mov eax, 0x90909090
  cmp dword [ring], 3
  je .user
  jmp near [code]
.user:
  push dword D3
  push dword 0x1d0000
  push dword 0x202
  push dword C3
  push dword .selectors
  iretd
.selectors:
  push eax
  mov ax, D3
  mov ds, ax
  mov es, ax
  pop eax
  jmp near [code]
%$done:
  mov dword [resume], 0
%pop
  mov [rest], ecx
  mov [last], edi
  dec dword [rounds]
  jnz .round
  VAL [vec], "vec"
  VAL [rest], "ecx"
  mov eax, [last]
  sub eax, CODE
  VAL eax, "edi"
  NL
  ret
align 4
code: dd CODE
opcode: dd 0
count: dd 0
bytes: dd 0
ring: dd 0
rounds: dd 0
rest: dd 0
last: dd 0
image_end:
