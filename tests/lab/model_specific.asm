; For three, joined in the middle: registers that RDMSR reads are set first, then time passes, then they
; are read back. Ends the run with 9.
%include "guest.inc"
start:
  mov ecx, 0x2ff                  ; IA32_MTRR_DEF_TYPE: on, uncached
  mov eax, 0x800
  xor edx, edx
  wrmsr
  mov ecx, 0x1b                   ; IA32_APIC_BASE: the local APIC off
  rdmsr
  btr eax, 11
  wrmsr
  rdtsc
  mov edi, edx
elapse:                            ; 2 to 4 * 2^32 cycles
  rdtsc
  sub edx, edi
  cmp edx, 3
  jb elapse
  mov ecx, 0x2ff
  rdmsr
  mov ebx, eax
  mov ecx, 0x1b
  rdmsr
  mov esi, 0x5000
turn:                             ; so that what was read is compared
  dec esi
  jnz turn
  mov al, 9
  out 0xf4, al
  hlt
