; A page fault whose handler faults itself, and that one's handler too: demand paging three deep,
; in the middle of a block, with every register restored. An instruction with two faulting operands.
; exit: 0
; serial:
;   faults 00000003 deepest 00000003
;   value 55aa1234
;   movs faults 00000002 copied 01020304
;   push faults 00000001
;   crossing faults 00000002 00beef00
%include "guest.inc"

DATA equ VIRTUAL

main:
  call paging_on
  hook 14, demand
  mov dword [SPARE + 0x2000], 0x55aa1234
  mov esi, 0x11111111
  mov edx, 0x22222222
  mov ebx, 0x33333333
  mov eax, [DATA]                 ; its handler touches DATA + 0x1000, that one's DATA + 0x2000
  add eax, 0
  cmp esi, 0x11111111
  jne .wrong
  cmp edx, 0x22222222
  jne .wrong
  cmp ebx, 0x33333333
  jne .wrong
  print "faults "
  mov eax, [faults]
  call print_hex
  print " deepest "
  mov eax, [deepest]
  call print_hex
  say ""
  print "value "
  mov eax, [DATA + 0x2000]
  call print_hex
  say ""
  mov dword [plain], 1
  mov dword [faults], 0
  mov dword [SPARE + 0x5000], 0x01020304
  mov esi, DATA + 0x5000
  mov edi, DATA + 0x6000
  movsd
  print "movs faults "
  mov eax, [faults]
  call print_hex
  print " copied "
  mov eax, [SPARE + 0x6000]
  call print_hex
  say ""
  mov dword [faults], 0
  mov ebp, esp
  mov esp, DATA + 0x9000
  mov eax, cr3                    ; ring 0 faults on this very stack: a push there cannot be
  mov esp, ebp                    ; delivered, so a store stands for it
  mov [DATA + 0x9000 - 4], eax
  print "push faults "
  mov eax, [faults]
  call print_hex
  say ""
  mov dword [faults], 0
  mov dword [DATA + 0xb000 - 2], 0xbeef0000
  mov eax, [DATA + 0xb000 - 1]
  print "crossing faults "
  push eax
  mov eax, [faults]
  call print_hex
  print " "
  pop eax
  call print_hex
  say ""
  ret
.wrong:
  fail "a register changed"

; Maps the page at CR2 to the frame in SPARE at the same distance.
demand:
  inc dword [faults]
  inc dword [depth]
  mov eax, [depth]
  cmp eax, [deepest]
  jbe .not_deeper
  mov [deepest], eax
.not_deeper:
  mov ecx, cr2
  cmp dword [plain], 0
  jne .map
  cmp ecx, DATA + 0x2000
  jae .map
  mov eax, [ecx + 0x1000]         ; faults itself
.map:
  and ecx, ~0xfff
  lea eax, [ecx - DATA + SPARE + P + W]
  shr ecx, 12
  mov [PAGE_TABLES + ecx * 4], eax
  dec dword [depth]
  ret
faults: dd 0
depth: dd 0
deepest: dd 0
plain: dd 0
