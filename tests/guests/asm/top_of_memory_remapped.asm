; exit: 0
; serial: in a file
;
; An instruction whose second part lies at 0, behind the top of the 4 GiB: translated and run again
; after the page at 0 has become another frame, has been written, has gone; in ring 0 and ring 3. And
; data across the top by way of the stack, of FS with a base, of strings, read-modify-write and x87.
%include "report.inc"
PT2 equ 0x303000
TOP equ 0x220000                         ; frame at 0xfffff000
LOW_A equ 0x221000                       ; frames for 0
LOW_B equ 0x222000
HIGH equ PT2 + 1023 * 4
FSEL equ FREE + 3
%macro NO_PAGE_AT_0 0
  mov dword [PT], 0
  invlpg [0]
%endmacro
%macro PAGE_AT_0 1
  mov dword [PT], (%1) | 7
  invlpg [0]
%endmacro
main:
  GDTE FSEL, 0x10, 0xfffff, 0xc0f3
  call paging_on
  mov edi, PT2
  mov ecx, 1024
  xor eax, eax
  rep stosd
  mov dword [HIGH], TOP | 7
  mov dword [PD + 1023 * 4], PT2 | 7
  mov eax, cr3
  mov cr3, eax
  mov edi, TOP
  mov ecx, 0xc00
  mov eax, 0x90909090
  rep stosd
  mov dword [LOW_A], 0xcd443322          ; the rest of MOV EAX, 0x44332211; INT 0x44
  mov byte [LOW_A + 4], 0x44
  mov dword [LOW_B], 0xcd443388          ; another one
  mov byte [LOW_B + 4], 0x44
  mov word [TOP + 0xffe], 0x11b8
  mov dword [ring], 0
.again:
  VAL [ring], "ring"
  NL
  PAGE_AT_0 LOW_A
  call thrice
  PAGE_AT_0 LOW_B
  call thrice
  mov byte [LOW_B + 2], 0x77             ; by another name of the page
  call thrice
  mov byte [2], 0x66                     ; by its own
  call thrice
  NO_PAGE_AT_0
  call thrice
  VAL [fcr2], "cr2"
  NL
  PAGE_AT_0 LOW_A
  mov dword [HIGH], 0
  invlpg [0xfffff000]
  call thrice
  VAL [fcr2], "cr2"
  NL
  mov dword [HIGH], TOP | 7
  invlpg [0xfffff000]
  call thrice
  mov byte [LOW_B + 2], 0x33
  cmp dword [ring], 3
  mov dword [ring], 3
  jne .again
  call data
  ret

thrice:
  mov dword [rounds], 3
.round:
  xor eax, eax
  TRY
  cmp dword [ring], 3
  je .user
  mov edx, 0xfffffffc
  jmp edx
.user:
  push dword D3
  push dword 0x1d0000
  push dword 0x202
  push dword C3
  push dword 0xfffffffc
  iretd
%$done:
  mov dword [resume], 0
%pop
  mov [result], eax
  dec dword [rounds]
  jnz .round
  VAL [vec], "vec"
  VAL [feip], "eip"
  VAL [result], "eax"
  NL
  ret

%macro D 2+                              ; data: name, instruction
  mov dword [0xfffffff8], 0x8f7f6f5f
  mov dword [0xfffffffc], 0x44332211
  mov dword [0], 0x88776655
  mov dword [4], 0xccbbaa99
  mov edx, 0x12345678
  mov ecx, 3
  mov ebx, 0xfffffffe
  TRY
  %2
  ENDTRY %1
  VAL eax, "eax"
  VAL edx, "edx"
  VAL [0xfffffffc], "top"
  VAL [0], "0"
  NL
%endmacro
data:
  mov ax, FSEL
  mov fs, ax
  mov eax, 0
  D "read word", mov ax, [0xffffffff]
  D "write dword", mov [ebx], edx
  D "add", add [ebx], edx
  D "xchg", xchg [ebx], edx
  D "cmpxchg8b", cmpxchg8b [ebx]
  D "bts", bts dword [ebx], 15
  D "push [ ]", push dword [ebx]
  mov esp, [resp]
  D "fs, base 16", mov eax, [fs:0xffffffee]
  D "fs, offset over the top", mov eax, [fs:0xfffffffe]
  D "lodsd", call lods_there
  D "movsd thrice", call movs_there
  D "stosd thrice, down", call stos_there
  D "fild", call fild_there
  D "movdqu", call movdqu_there
  D "stack at 2", call stack_there
  NO_PAGE_AT_0
  TRY
  mov [0xfffffffe], edx
  ENDTRY "write, nothing at 0"
  VAL [fcr2], "cr2"
  VAL [0xfffffffc], "top"
  NL
  ret
lods_there:
  mov esi, ebx
  lodsd
  mov edx, esi
  ret
movs_there:
  mov esi, 0x230000
  mov edi, 0xfffffffa
  mov dword [esi], 0xa1a2a3a4
  mov dword [esi + 4], 0xb1b2b3b4
  mov dword [esi + 8], 0xc1c2c3c4
  rep movsd
  mov edx, edi
  ret
stos_there:
  mov edi, 2
  mov eax, 0x01020304
  std
  rep stosd
  cld
  mov edx, edi
  ret
fild_there:
  fild qword [0xfffffffc]
  fistp qword [0x230000]
  mov eax, [0x230000]
  mov edx, [0x230004]
  ret
movdqu_there:
  mov eax, cr4
  or eax, 0x200
  mov cr4, eax
  movdqu xmm0, [0xfffffff8]
  movdqu [0x230000], xmm0
  mov eax, [0x230004]
  mov edx, [0x230008]
  ret
stack_there:
  mov [kept], esp
  mov esp, 2
  push edx
  pop eax
  push edx
  mov edx, esp
  mov esp, [kept]
  ret
align 4
ring: dd 0
rounds: dd 0
result: dd 0
kept: dd 0
image_end:
