; Aligned SSE accesses to misaligned addresses raise #GP(0), unaligned ones work, across pages too;
; a page fault comes after the alignment check. Unmasked numeric errors: #XM, #MF.
; exit: 0
; serial:
;   fault 0d error 00000000
;   fault 0d error 00000000
;   fault 0d error 00000000
;   fault 0d error 00000000
;   unaligned 44332211
;   fault 0e error 00000000
;   fault 0e error 00000002
;   fault 13 error 00000000
;   fault 10 error 00000000
%include "guest.inc"

%macro faults 1+
  try %%caught
  %1
  fail "no fault"
%%caught:
  call report_fault
%endmacro

main:
  call paging_on
  map VIRTUAL, SPARE | P | W
  mov eax, cr4
  or eax, 0x600
  mov cr4, eax
  mov eax, cr0
  and eax, ~0xe
  or eax, 0x22
  mov cr0, eax
  fninit
  mov ebx, VIRTUAL + 0x101
  faults movaps xmm0, [ebx]
  faults movaps [ebx], xmm0
  faults paddd xmm0, [ebx]
  faults fxsave [ebx]
  mov dword [ebx + 5], 0x44332211
  movups xmm0, [ebx + 5]
  movups [VIRTUAL + 0x333], xmm0
  movd eax, xmm0
  cmp eax, [VIRTUAL + 0x333]
  jne .wrong
  print "unaligned "
  call print_hex
  say ""
  faults movups xmm0, [VIRTUAL + 0xff9]
  faults movups [VIRTUAL + 0xff9], xmm0
  mov eax, 0x1d80                 ; divide by zero unmasked
  mov [mxcsr], eax
  ldmxcsr [mxcsr]
  xorps xmm0, xmm0
  cvtsi2ss xmm1, [one]
  faults divss xmm1, xmm0
  fldcw [control]
  fldz
  fld1
  fdiv st0, st1
  faults wait
  fnclex
  ret
.wrong:
  fail "unaligned copy"
align 4
mxcsr: dd 0
one: dd 1
control: dw 0x37b
