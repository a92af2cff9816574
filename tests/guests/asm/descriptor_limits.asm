; exit: 0
; serial: in a file
;
; Segment limits: one that is too small, expand-down ones, string instructions that reach a limit.
%include "report.inc"
main:
  GDTE FREE, 0x400, 15, 0x0093          ; 16 bytes only
  GDTE FREE+8, 0x200000, 0xffff, 0x009b ; 16-bit code at 2 MiB
  GDTE FREE+16, 0x210000, 0xfff, 0x4097 ; expand-down, B=1, limit 0xfff
  GDTE FREE+24, 0x210000, 0xfff, 0x0097 ; expand-down, B=0
  GDTE FREE+32, 0x210000, 0x1ffff, 0x0093 ; 128 KiB, B=0
  GDTE FREE+40, 0x210000, 0x0, 0x8093   ; one page, G
  GDTE FREE+48, 0, 0xfffff, 0xc091      ; read only
  GDTE FREE+56, 0x210000, 0x7fff, 0x4093 ; stack 32 bit 32 KiB
  GDTE FREE+64, 0, 0xfffff, 0xc099      ; execute only code
  GDTE FREE+72, 0x100000, 0x2fff, 0x409b ; code with a limit, 32 bit, base 0x100000
  mov word [0x44a], 80
  mov ax, FREE
  mov fs, ax
  TRY
  movzx eax, word [fs:0x4a]
  ENDTRY "peek 4a"
  TRY
  mov al, [fs:15]
  ENDTRY "byte 15"
  TRY
  mov ax, [fs:15]
  ENDTRY "word 15"
  TRY
  mov eax, [fs:12]
  ENDTRY "dword 12"
  TRY
  mov eax, [fs:13]
  ENDTRY "dword 13"
  TRY
  mov eax, [fs:-1]
  ENDTRY "dword -1"
  TRY
  mov eax, [fs:-4]
  ENDTRY "dword -4"
  TRY
  fld tword [fs:7]
  ENDTRY "tword 7"
  fninit
  TRY
  fld tword [fs:6]
  ENDTRY "tword 6"
  fninit
  TRY
  bt dword [fs:0], 200
  ENDTRY "bt imm"
  mov ecx, 128
  TRY
  bt dword [fs:0], ecx
  ENDTRY "bt ecx 128"
  mov ecx, -1
  TRY
  bt dword [fs:0], ecx
  ENDTRY "bt ecx -1"
  TRY
  lea eax, [fs:0x1000]
  ENDTRY "lea"
  TRY
  invlpg [fs:0x1000]
  ENDTRY "invlpg beyond"
  TRY
  nop dword [fs:0x1000]
  ENDTRY "nop mem beyond"
  TRY
  prefetcht0 [fs:0x1000]
  ENDTRY "prefetch beyond"
  ; 16-bit protected-mode code doing the peek
  mov edi, 0x200000
  mov esi, code16
  mov ecx, code16e - code16
  rep movsb
  TRY
  jmp FREE+8:0
back16:
  ENDTRY "16-bit code peek"
  mov ax, FREE+16
  mov gs, ax
  TRY
  mov al, [gs:0xfff]
  ENDTRY "down1 fff"
  TRY
  mov al, [gs:0x1000]
  ENDTRY "down1 1000"
  TRY
  mov ax, [gs:0xfff]
  ENDTRY "down1 word fff"
  TRY
  mov al, [gs:0x10000]
  ENDTRY "down1 10000"
  TRY
  mov al, [gs:-0x210000]
  ENDTRY "down1 wrap base"
  mov ax, FREE+24
  mov gs, ax
  TRY
  mov al, [gs:0xffff]
  ENDTRY "down0 ffff"
  TRY
  mov ax, [gs:0xffff]
  ENDTRY "down0 word ffff"
  TRY
  mov al, [gs:0x10000]
  ENDTRY "down0 10000"
  TRY
  mov al, [gs:0x1000]
  ENDTRY "down0 1000"
  TRY
  mov al, [gs:0x0]
  ENDTRY "down0 0"
  ; string ops at a limit
  mov ax, FREE+40
  mov es, ax
  mov edi, 0xff0
  mov ecx, 32
  mov eax, 0x55
  TRY
  rep stosb
  ENDTRY "rep stosb over limit"
  VAL ecx, "ecx"
  VAL edi, "edi"
  NL
  mov ax, FREE+40
  mov es, ax
  mov edi, 0xff1
  mov ecx, 32
  TRY
  rep stosd
  ENDTRY "rep stosd over limit"
  VAL ecx, "ecx"
  VAL edi, "edi"
  NL
  mov ax, FREE+40
  mov ds, ax
  mov esi, 0xffc
  mov ecx, 32
  mov edi, 0x220000
  mov dword [ss:vec], -1
  mov dword [ss:resume], .m1
  mov dword [ss:resp], esp
  mov dword [ss:base], .m0
.m0:
  rep movsd
.m1:
  mov ax, D0
  mov ds, ax
  SAY "rep movsd ds limit:"
  call show
  VAL ecx, "ecx"
  VAL edi, "edi"
  VAL esi, "esi"
  NL
  ; backwards below 0
  mov ax, FREE+40
  mov es, ax
  mov edi, 3
  mov ecx, 32
  std
  TRY
  rep stosb
  ENDTRY "rep stosb down below 0"
  cld
  VAL ecx, "ecx"
  VAL edi, "edi"
  NL
  mov ax, D0
  mov es, ax
  ; read-only, null, execute-only
  mov ax, FREE+48
  mov gs, ax
  TRY
  mov [gs:0x210000], eax
  ENDTRY "write to read-only"
  TRY
  xadd [gs:0x210000], eax
  ENDTRY "xadd to read-only"
  TRY
  cmp dword [gs:0x210000], 0
  ENDTRY "cmp read-only"
  mov eax, 1
  TRY
  cmpxchg [gs:0x210000], ecx
  ENDTRY "cmpxchg read-only"
  xor ax, ax
  mov gs, ax
  TRY
  mov eax, [gs:0]
  ENDTRY "null selector"
  TRY
  mov ax, FREE+64
  mov gs, ax
  ENDTRY "load execute-only"
  TRY
  mov eax, [cs:0x210000]
  ENDTRY "read by cs"
  TRY
  mov [cs:0x210000], eax
  ENDTRY "write by cs"
  ; SS with limits
  mov [savesp], esp
  mov ax, FREE+56
  mov ss, ax
  mov esp, 0x7ffe
  TRY
  pop eax
  mov dx, D0
  mov ss, dx
  mov esp, [savesp]
  ENDTRY "pop beyond ss limit"
  mov ax, FREE+32
  mov ss, ax
  mov esp, 0x10000
  mov dword [0x220000-4], 0
  mov dword [0x210000-4+0x10000], 0x11
  mov dword [0x21fffc], 0x1111
  push dword 0x12345678
  mov ecx, esp
  mov dx, D0
  mov ss, dx
  mov esp, [savesp]
  SAY "B=0 push"
  VAL ecx, "esp"
  VAL [0x21fffc], "fffc"
  NL
  ; B=0 with SP=2: push dword wraps
  mov ax, FREE+32
  mov ss, ax
  mov esp, 0x50002
  TRY
  push dword 0xabcdef01
  mov ecx, esp
  mov dx, D0
  mov ss, dx
  mov esp, [savesp]
  ENDTRY "B=0 push wrap"
  VAL ecx, "esp"
  NL
  ; EIP limit
  TRY
  jmp FREE+72:(clim-0x100000)
clim:
  mov eax, 0x3000
  jmp eax
  ENDTRY "jmp beyond cs limit"
  VAL [fcs], "cs"
  NL
  TRY
  jmp FREE+72:(clim2-0x100000)
clim2:
  mov eax, 0x3000
  call eax
  ENDTRY "call beyond cs limit"
  VAL [fcs], "cs"
  NL
  ret
savesp: dd 0
bits 16
code16:
  mov al, [fs:0xf]
  mov ax, [fs:0x4a]
  jmp dword C0:back16
code16e:
bits 32
image_end:
