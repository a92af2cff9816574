; Two tasks share the FPU by CR0.TS and #NM: each sees its own registers, x87, SSE and MMX. WAIT
; faults only with MP; EM faults without TS.
; exit: 0
; serial:
;   sums 000003e8 000007d0
;   switches 000007d0
;   wait with mp 07
;   wait without mp
;   em 07
;   sse without osfxsr 06
%include "guest.inc"

main:
  mov eax, cr4
  or eax, 0x600
  mov cr4, eax
  mov eax, cr0
  and eax, ~0xe
  or eax, 0x22
  mov cr0, eax
  fninit
  fldz
  xorps xmm0, xmm0
  fxsave [area_one]
  fxsave [area_two]
  mov dword [owner], area_two
  hook 7, switch
  mov ecx, 1000
.next:
  mov dword [current], area_one
  call set_ts
  mov eax, 1
  movd xmm1, eax
  paddd xmm0, xmm1
  fadd dword [single_one]
  mov dword [current], area_two
  call set_ts
  fadd dword [single_two]
  mov eax, 2
  movd xmm1, eax
  paddd xmm0, xmm1
  loop .next
  print "sums "
  mov dword [current], area_one
  call set_ts
  call check
  print " "
  mov dword [current], area_two
  call set_ts
  call check
  say ""
  print "switches "
  mov eax, [switches]
  sub eax, 2
  call print_hex
  say ""
  mov dword [hooks + 7 * 4], 0
  mov eax, cr0
  or eax, 8
  mov cr0, eax
  try .mp
  wait
  fail "no #NM"
.mp:
  print "wait with mp "
  call show
  mov eax, cr0
  and eax, ~2
  mov cr0, eax
  wait
  say "wait without mp"
  mov eax, cr0
  and eax, ~8
  or eax, 4
  mov cr0, eax
  try .em
  fld1
  fail "no #NM"
.em:
  print "em "
  call show
  mov eax, cr0
  and eax, ~4
  mov cr0, eax
  mov eax, cr4
  and eax, ~0x200
  mov cr4, eax
  try .osfxsr
  xorps xmm0, xmm0
  fail "no #UD"
.osfxsr:
  print "sse without osfxsr "
show:
  mov eax, [fault_vector]
  call print_byte
  say ""
  ret

; the x87 and the SSE sum must be equal
check:
  fist dword [result]
  movd eax, xmm0
  cmp eax, [result]
  jne .wrong
  jmp print_hex
.wrong:
  fail "sums differ"

set_ts:
  mov eax, cr0
  or eax, 8
  mov cr0, eax
  ret

switch:
  inc dword [switches]
  clts
  mov eax, [owner]
  mov ecx, [current]
  cmp eax, ecx
  je .same
  fxsave [eax]
  fxrstor [ecx]
  mov [owner], ecx
.same:
  ret

align 16
area_one: times 512 db 0
area_two: times 512 db 0
owner: dd 0
current: dd 0
switches: dd 0
result: dd 0
single_one: dd 1.0
single_two: dd 2.0
