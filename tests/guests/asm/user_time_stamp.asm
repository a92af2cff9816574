; RDTSC in ring 3: the counter of ring 0, before and after ring 0 has set it, and #GP with CR4.TSD. The
; turns in between are for user code to go direct.
; exit: 0
; counters direct: direct.slices>2
; counters direct-faulting: direct.slices>2
; serial:
;   as it is: in order
;   set by WRMSR: in order
;   and small
;   denied: 0d
;   allowed again: in order
%include "guest.inc"

IA32_TIME_STAMP_COUNTER equ 0x10
CR4_TSD equ 4
RESULT equ USER_STACK - 0x800

main:
  call paging_on
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  call flush_tlb
  print "as it is: "
  call in_order
  xor edx, edx
  mov eax, 1000
  mov ecx, IA32_TIME_STAMP_COUNTER
  wrmsr
  print "set by WRMSR: "
  call in_order
  cmp dword [RESULT + 4], 0x1000  ; 17,000 seconds at a GHz
  jae .large
  say "and small"
.large:
  mov eax, cr4
  or eax, CR4_TSD
  mov cr4, eax
  print "denied: "
  try .denied
  mov eax, user_code
  mov edx, USER_STACK
  call run_user
  fail "RDTSC is allowed"
.denied:
  mov eax, [fault_vector]
  call print_byte
  say ""
  mov eax, cr4
  and eax, ~CR4_TSD
  mov cr4, eax
  print "allowed again: "
  call in_order
  ret

; Ring 0, ring 3, ring 0.
in_order:
  rdtsc
  mov esi, eax
  mov edi, edx
  push esi
  push edi
  mov eax, user_code
  mov edx, USER_STACK
  call run_user
  pop edi
  pop esi
  cmp [RESULT], esi
  mov eax, [RESULT + 4]
  sbb eax, edi
  jb .before
  rdtsc
  cmp eax, [RESULT]
  sbb edx, [RESULT + 4]
  jb .after
  say "in order"
  ret
.before:
  fail "earlier than before"
.after:
  fail "later than after"

align 4096
user_code:
  mov ecx, 20000
.turn:
  loop .turn
  rdtsc
  mov [RESULT], eax
  mov [RESULT + 4], edx
  user_exit
align 4096
