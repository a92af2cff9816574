; REP BSF is TZCNT and ANDN exists exactly where CPUID says BMI1, in ring 0 and in a loop of ring 3
; that is worth running directly.
; exit: 0
; serial:
;   ring 0 agrees
;   ring 3 agrees
%include "guest.inc"

%macro expect_defined 1           ; EAX: 1 if ANDN ran, 0 if it was #UD
  cmp eax, [offered]
  je %%good
  fail %1, " ANDN"
%%good:
%endmacro

main:
  call paging_on
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  call flush_tlb
  hook 0x81, keep_answer
  mov byte [IDT_AREA + 0x81 * 8 + 5], 0xee
  call read_offer
  mov eax, cr4
  or eax, 0x600                   ; OSFXSR, OSXMMEXCPT: without, ring 3 would not run directly
  mov cr4, eax

  call scan
  cmp eax, 0
  je .scanned
  fail "ring 0 REP BSF"
.scanned:
  try undefined_0
  mov ebx, 0xff
  mov ecx, 0x1234
  andn eax, ebx, ecx
  no_try
  check_equal eax, 0x1200, "ring 0 ANDN's result"
  mov eax, 1
  jmp defined_0
undefined_0:
  check_equal [fault_vector], 6, "ring 0 ANDN's exception"
  xor eax, eax
defined_0:
  expect_defined "ring 0"
  say "ring 0 agrees"

  sti                             ; nor with interrupts off
  mov eax, user_scan
  mov edx, USER_STACK
  call run_user
  check_equal [answer], 0, "ring 3 REP BSF"
  sti
  try undefined_3
  mov eax, user_andn
  mov edx, USER_STACK
  call run_user
  no_try
  check_equal [answer], 0x1200, "ring 3 ANDN's result"
  mov eax, 1
  jmp defined_3
undefined_3:
  mov eax, DATA0
  mov ds, eax
  mov es, eax
  check_equal [fault_vector], 6, "ring 3 ANDN's exception"
  xor eax, eax
defined_3:
  cli
  expect_defined "ring 3"
  say "ring 3 agrees"
  ret

; What CPUID says, and what REP BSF of zero then leaves of the destination 0x1234.
read_offer:
  mov eax, 7
  xor ecx, ecx
  cpuid
  shr ebx, 3
  and ebx, 1
  mov [offered], ebx
%ifdef BMI1_IS_OFF
  cmp ebx, 0
  je .off
  fail "CPUID offers BMI1"
.off:
%endif
  mov dword [scan_of_zero], 0x1234
  mov dword [scan_of_zero_word], 0x1234
  cmp ebx, 0
  je .done
  mov dword [scan_of_zero], 32
  mov dword [scan_of_zero_word], 16
.done:
  ret

keep_answer:
  mov eax, [ebp + frame.eax]
  mov [answer], eax
  ret

offered: dd 0
answer: dd -1

align 4096
user_code:
user_scan:
  call scan
  int 0x81
  user_exit
user_andn:
  mov ebx, 0xff
  mov ecx, 0x1234
  andn eax, ebx, ecx
  int 0x81
  user_exit

; EAX: how many of 20000 rounds found what they should not have.
scan:
  xor esi, esi
  mov edx, 20000
.next:
  xor ecx, ecx
  mov eax, 0x1234
  db 0xf3
  bsf eax, ecx
  cmp eax, [scan_of_zero]
  jne .differs
  mov eax, 0x1234
  db 0xf3
  bsf ax, [zero]
  cmp eax, [scan_of_zero_word]
  jne .differs
  mov eax, 0x1234
  db 0xf2                         ; says nothing, and the last of F2 and F3 counts
  bsf eax, ecx
  db 0xf3, 0xf2
  bsf eax, ecx
  cmp eax, 0x1234
  jne .differs
  mov ecx, 0x10000
  db 0xf3
  bsf eax, ecx
  cmp eax, 16
  je .same
.differs:
  inc esi
.same:
  dec edx
  jnz .next
  mov eax, esi
  ret

scan_of_zero: dd 0
scan_of_zero_word: dd 0
zero: dd 0
align 4096
