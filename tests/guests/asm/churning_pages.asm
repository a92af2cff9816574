; Pages whose entries are written again and again, in every way a kernel does it: whatever the monitor
; makes of such pages, each access goes where the entry says, and sets A and D.
; exit: 0
%include "guest.inc"

ROUNDS equ 200
PAGE equ VIRTUAL + 0x3000
ENTRY equ PAGE_TABLES + (PAGE >> 12) * 4
FRAMES equ SPARE + 0x10000        ; 16 of them, mapped where they are, too

main:
  call paging_on
  call by_invlpg
  call by_cr3
  call accessed_and_dirty
  call write_rights
  call then_left_alone
  finish 0

; EAX -> the frame of round EBP
frame_of_round:
  mov eax, ebp
  and eax, 15
  shl eax, 12
  add eax, FRAMES
  ret

; One store site writes through the page; the frame must have it.
store_and_check:
  mov [PAGE], ebp
  mov [PAGE + 4], esp
  call frame_of_round
  check_equal [eax], ebp, "what the frame has"
  check_equal [PAGE], ebp, "what is read back"
  ret

by_invlpg:
  mov ebp, ROUNDS
.next:
  call frame_of_round
  or eax, P | W
  mov [ENTRY], eax
  invlpg [PAGE]
  call store_and_check
  dec ebp
  jnz .next
  ret

by_cr3:
  mov ebp, ROUNDS
.next:
  call frame_of_round
  or eax, P | W
  mov [ENTRY], eax
  call flush_tlb
  call store_and_check
  dec ebp
  jnz .next
  ret

accessed_and_dirty:
  mov ebp, ROUNDS
.next:
  and dword [ENTRY], ~(ACCESSED | DIRTY)
  invlpg [PAGE]
  mov eax, [PAGE + 8]
  mov ecx, [ENTRY]
  and ecx, ACCESSED | DIRTY
  check_equal ecx, ACCESSED, "A alone after a load"
  mov [PAGE + 8], ebp
  mov ecx, [ENTRY]
  and ecx, ACCESSED | DIRTY
  check_equal ecx, ACCESSED | DIRTY, "A and D after a store"
  dec ebp
  jnz .next
  ret

; Read-only under CR0.WP, writable without it, writable again by its entry.
write_rights:
  mov ebp, ROUNDS
.next:
  and dword [ENTRY], ~W
  invlpg [PAGE]
  push ebp                        ; a caught fault leaves ESP alone
  try .refused
  mov [PAGE + 12], ebp
  fail "a read-only page was written"
.refused:
  pop ebp
  check_equal [fault_error], 3, "the error code"
  mov eax, cr0
  and eax, ~0x10000
  mov cr0, eax
  mov [PAGE + 12], ebp            ; WP is off
  check_equal [PAGE + 12], ebp, "what was written without WP"
  or eax, 0x10000
  mov cr0, eax
  push ebp
  try .refused_again
  mov [PAGE + 12], eax
  fail "a read-only page was written once more"
.refused_again:
  pop ebp
  check_equal [PAGE + 12], ebp, "what is there still"
  or dword [ENTRY], W
  invlpg [PAGE]
  mov [PAGE + 12], eax
  dec ebp
  jnz .next
  ret

; The page is left alone from here on, and used by many sites.
then_left_alone:
  mov ebp, 1
  call frame_of_round
  or eax, P | W
  mov [ENTRY], eax
  invlpg [PAGE]
  mov ecx, 1000
.next:
%assign at 0
%rep 40
  add [PAGE + 0x100 + at * 4], ecx
  %assign at at + 1
%endrep
  dec ecx
  jnz .next
  call frame_of_round
  mov edx, 1000 * 1001 / 2
  check_equal [eax + 0x100], edx, "the first sum"
  check_equal [eax + 0x100 + 39 * 4], edx, "the last sum"
  ret
