; The same offsets, and the same bytes, in several modes: two 16-bit segments whose code differs at equal
; EIPs, a return that its caller's segment did not push, one code run with DS at two bases, with ES null
; and flat, at two linear addresses; and code that changes itself in a segment with a base.
; exit: 0
; serial:
;   alternating 00001770
;   returned into the other segment 0000beef
;   one code, two bases 00000003 00000007
;   null and flat 00000064
;   null raises 0d error 00000000
;   changed itself 00000022
;   two names 00000011 00000011
;   unreal 12345678
%include "guest.inc"

CODE_A equ 0x30
CODE_B equ 0x38
DATA_1 equ 0x40
DATA_2 equ 0x48
WIDE_1 equ 0x50
WIDE_2 equ 0x58
DATA_A equ 0x60
REAL equ 0x8000

main:
  gdt_entry CODE_A, addr(segment_a), 0xffff, 0x009b
  gdt_entry CODE_B, addr(segment_b), 0xffff, 0x009b
  gdt_entry DATA_1, SPARE, 0xfffff, 0xc093
  gdt_entry DATA_2, SPARE + 0x1000, 0xfff, 0x4093
  gdt_entry WIDE_1, addr(changing), 0xfff, 0x409b
  gdt_entry WIDE_2, addr(changing) - 0x100, 0xfff, 0x409b
  gdt_entry DATA_A, addr(segment_a), 0xffff, 0x0093

  ; each adds another number at the same offset
  xor eax, eax
  mov ecx, 1000
.alternate:
  call CODE_A:a_adds - segment_a
  call CODE_B:b_adds - segment_b
  dec ecx
  jnz .alternate
  print "alternating "
  call print_hex
  say ""

  ; A calls near, the callee leaves for B, which returns: to B's code at A's offset
  mov ecx, 20
.across:
  call CODE_A:a_calls - segment_a
  cmp ax, 0xbeef
  jne .wrong
  dec ecx
  jnz .across
  print "returned into the other segment "
  movzx eax, ax
  call print_hex
  say ""

  mov dword [SPARE], 3
  mov dword [SPARE + 0x1000], 7
  mov ecx, 50
.bases:
  mov edx, DATA_1
  call read_first
  mov esi, eax
  mov edx, DATA_2
  call read_first
  mov edi, eax
  dec ecx
  jnz .bases
  print "one code, two bases "
  mov eax, esi
  call print_hex
  print " "
  mov eax, edi
  call print_hex
  say ""

  xor eax, eax
  mov ecx, 50
.null:
  xor edx, edx
  mov es, edx
  call count
  mov edx, DATA0
  mov es, edx
  call count
  dec ecx
  jnz .null
  print "null and flat "
  call print_hex
  say ""
  try .caught
  xor edx, edx
  mov es, edx
  mov ecx, [es:SPARE]
  fail "no fault"
.caught:
  mov edx, DATA0
  mov es, edx
  print "null raises "
  mov al, [fault_vector]
  call print_byte
  print " error "
  mov eax, [fault_error]
  call print_hex
  say ""

  mov ecx, 30
.change:
  mov byte [changing + 1], 0x11
  call WIDE_1:0
  cmp al, 0x11
  jne .wrong
  mov byte [changing + 1], 0x22
  call WIDE_1:0
  cmp al, 0x22
  jne .wrong
  dec ecx
  jnz .change
  print "changed itself "
  movzx eax, al
  call print_hex
  say ""
  mov byte [changing + 1], 0x11
  call WIDE_1:0
  mov esi, eax
  call WIDE_2:0x100
  print "two names "
  movzx eax, al
  call print_hex
  print " "
  mov eax, esi
  movzx eax, al
  call print_hex
  say ""

  mov esi, real_code
  mov edi, REAL
  mov ecx, real_end - real_code
  rep movsb
  gdt_entry CODE_A, REAL, 0xffff, 0x009b
  mov [saved_esp], esp
  jmp CODE_A:0
.back:
  mov eax, DATA0
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov esp, [saved_esp]
  print "unreal "
  mov eax, [SPARE + 0x10]
  call print_hex
  say ""
  ret
.wrong:
  fail "a wrong value"

read_first:
  mov ds, edx
  mov eax, [0]
  mov edx, DATA0
  mov ds, edx
  ret
count:
  inc eax
  push eax
  pop eax
  ret
align 4
saved_esp: dd 0

align 64
changing:
  mov al, 0
  retf

bits 16
align 64
segment_a:
a_adds:
  add ax, 1
  o32 retf
a_calls:
  call a_leaves
  mov ax, 0x1111
  o32 retf
a_leaves:
  jmp CODE_B:b_returns - segment_b
align 64
segment_b:
b_adds:
  add ax, 5
  o32 retf
b_calls:
  nop
  nop
  nop
  mov ax, 0xbeef                    ; at the offset that a_calls has pushed
  o32 retf
b_returns:
  ret
%if (a_calls - segment_a) != (b_calls - segment_b)
  %error "the segments do not agree"
%endif

; 32-bit offsets in real mode, with the limit that DS has brought along
align 16
real_code:
  mov eax, cr0
  and al, 0xfe
  mov cr0, eax
  jmp (REAL >> 4):.real - real_code
.real:
  mov cx, 100
.next:
  mov ebx, SPARE + 0x10
  mov dword [ebx], 0x12345678
  mov ax, ds
  mov ds, ax
  inc dword [ebx - 8]
  loop .next
  mov eax, cr0
  or al, 1
  mov cr0, eax
  jmp dword CODE0:main.back
real_end:
bits 32
