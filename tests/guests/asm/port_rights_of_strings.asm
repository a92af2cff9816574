; exit: 0
; serial: in a file
;
; IN, OUT, INS and OUTS at CPL 3 with IOPL 0: without a permission map, with one that allows a single
; port, and with a 16-bit TSS, which has none. The right is asked for before the count: REP INS and
; REP OUTS with ECX 0 fault too (SDM 2A INS; silicon agrees).
%include "report.inc"
%macro U 2+
  TRY
  push dword D3
  push dword 0x1d0000
  push dword 0x202
  push dword C3
  push dword %%u
  iretd
%%u:
  %2
%%e: ud2
  ENDTRY %1
  mov eax, [feip]
  sub eax, %%u
  VAL eax, "off"
  NL
%endmacro
main:
  mov ecx, 0
  mov edx, 0x80
  mov esi, 0x200000
  mov edi, 0x201000
  U "rep outsb ecx=0", rep outsb
  mov ecx, 0
  mov edx, 0x80
  mov edi, 0x201000
  U "rep insb ecx=0", rep insb
  mov ecx, 0
  U "rep insd ecx=0", rep insd
  mov ecx, 1
  U "rep outsb ecx=1", rep outsb
  U "outsb", outsb
  U "in", in al, dx
  ; REP MOVS with ECX=0 and a null segment, and at a bad address: no fault
  U "rep movsb null es", call zero
  U "stc;cli", call stccli
  U "stc;sti", call stcsti
  ; an I/O map that allows 0x80 only: then REP with count 0 passes, other ports and wider accesses do not
  GDTE TSS, TSSM, 104+32, 0x0089
  mov word [TSSM+102], 104
  mov edi, TSSM+104
  mov ecx, 33
  mov al, 0xff
  rep stosb
  mov byte [TSSM+104+16], 0xfe
  mov ax, TSS
  ltr ax
  mov ecx, 0
  mov edx, 0x80
  mov edi, 0x201000
  U "map: rep insb ecx=0", rep insb
  mov ecx, 3
  mov edi, 0x201000
  U "map: rep insb ecx=3", rep insb
  VAL ecx, "ecx"
  VAL edi, "edi"
  NL
  mov ecx, 0
  U "map: rep insw ecx=0", rep insw
  U "map: in ax", in ax, dx
  mov edx, 0x7f
  mov ecx, 0
  U "map: 7f rep outsb ecx=0", rep outsb
  ; a 286 TSS has no map whatever lies at its offset 102: TSS at 0x211000, zeros all over
  mov edi, 0x211000
  mov ecx, 256
  xor eax, eax
  rep stosd
  mov word [0x211000+2], STACK - 0x4000 - 0x1d0000
  GDTE FREE+40, 0x1d0000, 0xffff, 0x0093
  mov word [0x211000+4], FREE+40
  GDTE FREE+48, 0x211000, 0x3ff, 0x0081
  mov ax, FREE+48
  ltr ax
  mov edx, 0x80
  mov dword [IDT + 13*8], (g286 - $$ + 0x100000) & 0xffff | (C0 << 16)
  mov dword [IDT + 13*8+4], ((g286 - $$ + 0x100000) & 0xffff0000) | 0x8e00
  mov dword [IDT + 6*8], (u286 - $$ + 0x100000) & 0xffff | (C0 << 16)
  mov dword [IDT + 6*8+4], ((u286 - $$ + 0x100000) & 0xffff0000) | 0x8e00
  mov [saved], esp
  push dword D3
  push dword 0x1d1000
  push dword 0x202
  push dword C3
  push dword .u
  iretd
.u: in al, dx
  ud2
g286: mov ax, D0
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov esp, [saved]
  SAY "286 TSS: #GP", 10
  jmp out286
u286: mov ax, D0
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov esp, [saved]
  SAY "286 TSS: allowed", 10
out286:
  ret
stccli:
  stc
  cli
  ret
stcsti:
  stc
  sti
  ret
saved: dd 0
zero:
  push es
  xor eax, eax
  mov es, ax
  xor ecx, ecx
  rep movsb
  pop es
  ret
image_end:
