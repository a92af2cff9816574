; exit: 0
; serial: in a file
;
; Every user of the stack on a 16-bit stack segment: SP wraps at 64 KiB and ESP's upper half stays,
; whoever moves it: PUSH to LEAVE, near and far calls, interrupts and IRET, call gates with
; parameters taken from such a stack, and such a stack as the inner one of a TSS.
%include "report.inc"
BASE equ 0x210000
D16 equ FREE                             ; ring 0, 16-bit, writable
D16_3 equ FREE + 8 + 3                   ; ring 3
GATE32 equ FREE + 16 + 3
GATE16 equ FREE + 24 + 3
CODE_AT_IMAGE equ FREE + 32
%macro S 3+                              ; name, ESP, instruction
  SAY %1, ":"
  call fill
  mov [kept], esp
  mov ax, D16
  mov ss, ax
  mov esp, %2
  mov ebp, 0x00078884
  mov eax, 0x11223344
  mov ecx, 0x55667788
  %3
  call left
  mov esi, %2
  call show_stack
%endmacro
main:
  GDTE D16, BASE, 0xffff, 0x0093
  GDTE D16_3, BASE, 0xffff, 0x00f3
  GDTE CODE_AT_IMAGE, 0x100000, 0xfffff, 0xc09b ; for gates whose offsets have 16 bits
  mov dword [IDT + 0x41 * 8], (handler32 - $$ + 0x100000) & 0xffff | C0 << 16
  mov dword [IDT + 0x41 * 8 + 4], (handler32 - $$ + 0x100000) & 0xffff0000 | 0xee00
  S "push eax", 0x00050000, push eax
  S "push ax", 0x00050000, push ax
  S "push esp", 0x00050000, push esp
  S "push ds", 0x00050000, push ds
  S "pushad", 0x00050010, pushad
  S "pushaw", 0x00050008, pushaw
  S "pop eax", 0x0005fffc, pop eax
  S "pop ax", 0x0005fffe, pop ax
  S "pop esp", 0x0005fffc, pop esp
  S "popad", 0x0005fff0, popad
  S "popaw", 0x0005fff8, popaw
  S "pushfd", 0x00050000, pushfd
  S "enter 8,0", 0x00050000, enter 8, 0
  S "enter 8,1", 0x00050000, enter 8, 1
  S "enter 8,3", 0x00050008, enter 8, 3
  S "enterw 8,1", 0x00050000, db 0x66, 0xc8, 8, 0, 1
  S "enterw 8,2", 0x00050000, db 0x66, 0xc8, 8, 0, 2
  S "leave", 0x00050000, leave
  S "leavew", 0x00050000, db 0x66, 0xc9
  S "call; ret", 0x00050000, call only_ret
  S "call; ret 8", 0x00050000, call only_ret_8
  S "far call, retf", 0x00050004, call C0:only_retf
  S "far call, retf 8", 0x00050004, call C0:only_retf_8
  S "int, 32-bit gate", 0x00050008, int 0x41
  S "far call down", 0x00050004, call C0:only_look
  ; from ring 3 through gates with three parameters
  mov dword [gdt + (GATE32 & ~7)], (gated32 - $$ + 0x100000) & 0xffff | C0 << 16
  mov dword [gdt + (GATE32 & ~7) + 4], (gated32 - $$ + 0x100000) & 0xffff0000 | 0xec03
  mov dword [gdt + (GATE16 & ~7)], (gated16 - $$) | CODE_AT_IMAGE << 16
  mov dword [gdt + (GATE16 & ~7) + 4], 0xe403
  SAY "gate, 32-bit parameters:"
  mov dword [frame_words], 7
  mov dword [gate], GATE32
  call from_ring_3
  SAY "gate, 16-bit parameters:"
  mov dword [frame_words], 7
  mov dword [gate], GATE16
  call from_ring_3
  ; the inner stack is a 16-bit one whose frame wraps
  mov dword [TSSM + 4], 8
  mov dword [TSSM + 8], D16
  SAY "inner 16-bit stack, gate:"
  mov dword [gate], GATE32
  call from_ring_3
  mov dword [TSSM + 4], 0x12340008
  SAY "with an upper half:"
  call from_ring_3
  ret

; Each word of the stack's ends says where it is.
fill:
  pushad
  mov edi, BASE
  mov ecx, 0x8000
  mov eax, 0xa000
.w:
  stosw
  inc ax
  loop .w
  popad
  ret
left:                                    ; the return address is on the stack under test
  mov [o_eax], eax
  mov [o_ecx], ecx
  mov [o_ebp], ebp
  mov [o_edi], edi
  mov ebx, esp
  movzx eax, bx
  mov edx, [BASE + eax]                  ; EIP to go on at
  lea eax, [ebx + 4]
  mov bx, ax
  mov [o_esp], ebx
  mov ax, D0
  mov ss, ax
  mov esp, [kept]
  jmp edx
show_stack:                              ; ESI: where ESP was
  VAL [o_esp], "esp"
  VAL [o_ebp], "ebp"
  VAL [o_eax], "eax"
  VAL [o_ecx], "ecx"
  SAY " below:"
  mov ecx, 5
.d:
  sub esi, 4
  movzx ebx, si
  cmp ebx, 0xfffd
  jae .next
  mov eax, [BASE + ebx]
  SAY " "
  call hex
.next:
  loop .d
  NL
  ret
only_ret: ret
only_ret_8: ret 8
only_retf: retf
only_retf_8: retf 8
only_look:                               ; ESP in there, then back
  mov [inner], esp
  retf
handler32:
  mov [inner], esp
  iretd

from_ring_3:
  call fill
  pushad
  mov [kept], esp
  mov ax, D0
  push dword D16_3
  push dword 4                           ; the first parameter at 0, the others at the top
  push dword 0x202
  push dword C3
  push dword .user
  iretd
.user:
  mov ax, D3
  mov ds, ax
  mov es, ax
  push dword 0x1111aaaa
  push dword 0x2222bbbb
  push dword 0x3333cccc
  cmp dword [gate], GATE16
  je .sixteen
  call GATE32:0
.sixteen:
  call GATE16:0
gated16:
  jmp C0:gated32
gated32:
  mov eax, esp
  mov ebx, ss
  mov ecx, D0
  mov ds, ecx
  mov es, ecx
  mov [inner], eax
  mov [inner_ss], ebx
  mov ss, ecx
  mov esp, [kept]
  VAL [inner], "esp"
  VAL [inner_ss], "ss"
  mov esi, [inner]
  cmp dword [inner_ss], D16
  jne .flat
  movzx esi, si
  add esi, BASE
.flat:
  mov ecx, [frame_words]
.f:
  cmp esi, BASE + 0x10000                ; such a stack goes on at its beginning
  jne .in
  mov esi, BASE
.in:
  mov eax, [esi]
  add esi, 4
  SAY " "
  call hex
  loop .f
  NL
  popad
  ret
align 4
kept: dd 0
inner: dd 0
inner_ss: dd 0
gate: dd 0
frame_words: dd 0
o_esp: dd 0
o_ebp: dd 0
o_eax: dd 0
o_ecx: dd 0
o_edi: dd 0
image_end:
