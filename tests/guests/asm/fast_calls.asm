; SYSENTER and SYSEXIT, again and again from the same places: rings, selectors and flags are right on
; both sides; what the kernel changes between the two (a page, an address space, the registers of
; SYSENTER, where it returns) is true in ring 3 at once; faults are those of the manual.
; exit: 0
; serial:
;   calls: right
;   flags: kept
;   a page mapped elsewhere: right
;   two address spaces: right
;   returns elsewhere: right
;   other selectors: right
;   interrupted: right
;   from ring 0: right
;   no right to leave: fault 0d error 00000000
;   no code there: fault 0e error 00000004
;   a page that has gone: fault 0e error 00000004
;   no selector: fault 0d error 00000000
;   nor to leave by: fault 0d error 00000000
%include "guest.inc"

MSR_CS equ 0x174
MSR_ESP equ 0x175
MSR_EIP equ 0x176
KERNEL_STACK equ STACK_TOP - 0x20000
SHIFTING equ VIRTUAL + 0x10000     ; a page of ring 3 that is mapped to either frame
FRAME_A equ SPARE + 0x10000
FRAME_B equ SPARE + 0x11000
OTHER_DIR equ SPARE + 0x20000
OTHER_TABLES equ SPARE + 0x21000
ROUNDS equ 300

%macro set_msr 2
  mov ecx, %1
  mov eax, %2
  xor edx, edx
  wrmsr
%endmacro

%macro run 1                      ; code of ring 3
  mov eax, %1
  mov edx, USER_STACK
  call run_user
%endmacro

%macro expect_fault 2+            ; code of ring 3, text
  print %2, ": "
  try %%caught
  run %1
  fail "no fault"
%%caught:
  mov eax, DATA0
  mov ds, eax
  mov es, eax
  call report_fault
%endmacro

main:
  call paging_on
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  map SHIFTING, FRAME_A + (P | W | U)
  mov dword [FRAME_A], 'A'
  mov dword [FRAME_B], 'B'
  call make_other_space
  call flush_tlb
  set_msr MSR_CS, CODE0
  set_msr MSR_ESP, KERNEL_STACK
  set_msr MSR_EIP, entered

  run many_calls
  check_equal [result], ROUNDS * 3, "calls"
  check_equal [wrong], 0, "rings"
  say "calls: right"

  set_msr MSR_EIP, bare
  run keeps_flags
  check_equal [USER_STACK - 0x800], ROUNDS, "carries"
  say "flags: kept"
  set_msr MSR_EIP, entered

  run sees_remaps
  check_equal [USER_STACK - 0x800], ROUNDS, "pages"
  say "a page mapped elsewhere: right"
  run sees_spaces
  check_equal [USER_STACK - 0x800], ROUNDS, "spaces"
  say "two address spaces: right"
  run returns_elsewhere
  check_equal [USER_STACK - 0x800], ROUNDS, "returns"
  say "returns elsewhere: right"

  mov esi, gdt + CODE0
  mov edi, gdt + FREE0
  mov ecx, 8
  rep movsd
  mov dword [expected_cs], FREE0
  set_msr MSR_CS, FREE0
  run sees_selectors
  check_equal [USER_STACK - 0x800], ROUNDS, "selectors"
  check_equal [wrong], 0, "rings"
  mov dword [expected_cs], CODE0
  set_msr MSR_CS, CODE0
  run sees_usual_selectors
  check_equal [USER_STACK - 0x800], ROUNDS, "selectors"
  check_equal [wrong], 0, "rings"
  say "other selectors: right"

  mov ecx, 2000
  call start_timer
  run until_ticks
  mov al, 0xff
  out 0x21, al
  check_equal [wrong], 0, "rings"
  say "interrupted: right"

  mov dword [user_resume], .from_ring_0
  mov [user_esp], esp
  xor eax, eax
  sysenter
.from_ring_0:
  say "from ring 0: right"

  expect_fault leaves_without_right, "no right to leave"
  expect_fault goes_nowhere, "no code there"
  expect_fault loses_page, "a page that has gone"
  map SHIFTING, FRAME_A + (P | W | U)
  call flush_tlb
  set_msr MSR_CS, 0
  expect_fault leaves_at_once, "no selector"
  print "nor to leave by: "
  try .caught
  sysexit
.caught:
  call report_fault
  ret

make_other_space:                 ; the second table of tables differs in SHIFTING
  mov esi, PAGE_DIR
  mov edi, OTHER_DIR
  mov ecx, 1024
  rep movsd
  mov esi, PAGE_TABLES + 0x2000
  mov edi, OTHER_TABLES
  mov ecx, 1024
  rep movsd
  mov dword [OTHER_DIR + 8], OTHER_TABLES + (P | W | U)
  mov dword [OTHER_TABLES + ((SHIFTING >> 12) & 0x3ff) * 4], FRAME_B + (P | W | U)
  ret

; ---- ring 0 ----

bare:
  sysexit

; EAX: what is asked; ECX and EDX: where ring 3 goes on.
entered:
  push eax
  push ebx
  mov ebx, cs
  cmp ebx, [expected_cs]
  jne .wrong
  mov ebx, ss
  sub ebx, 8
  cmp ebx, [expected_cs]
  jne .wrong
  lea ebx, [esp + 8]
  cmp ebx, KERNEL_STACK
  jne .wrong
  pushfd
  pop ebx
  test ebx, 0x20200
  jz .asked
.wrong:
  inc dword [wrong]
.asked:
  pop ebx
  pop eax
  jmp [.functions + eax * 4]
.functions: dd over, counts, remaps, other_space, by_iret, skips, with_interrupts, takes_page, reads

over:
  mov [result], ebx
  mov esp, [user_esp]
  jmp [user_resume]
counts:
  inc ebx
  sysexit
reads:                            ; what ring 3 points to, through a page that ring 3 may have
  mov eax, [esi]
  sysexit
remaps:
  xor dword [PAGE_TABLES + (SHIFTING >> 12) * 4], FRAME_A ^ FRAME_B
  invlpg [SHIFTING]
  sysexit
other_space:
  mov eax, cr3
  xor eax, PAGE_DIR ^ OTHER_DIR
  mov cr3, eax
  sysexit
by_iret:
  push dword DATA3
  push ecx
  pushfd
  push dword CODE3
  push edx
  iret
skips:                            ; goes on at EDI
  mov edx, edi
  sysexit
with_interrupts:
  sti
  sysexit
takes_page:
  mov dword [PAGE_TABLES + (SHIFTING >> 12) * 4], 0
  invlpg [SHIFTING]
  sysexit

align 4
expected_cs: dd CODE0
result: dd 0
wrong: dd 0

; ---- ring 3 ----
align 4096
user_code:

%macro ask 1
  mov eax, %1
  mov ecx, esp
  mov edx, %%back
  sysenter
%%back:
%endmacro
%define SEEN dword [USER_STACK - 0x800]

many_calls:
  xor ebx, ebx
  mov ebp, ROUNDS
.next:
  ask 1
  call .inner
  ask 1
  dec ebp
  jnz .next
  ask 0
.inner:
  ask 1
  ret

keeps_flags:
  mov ebp, ROUNDS
  mov SEEN, 0
.next:
  mov ecx, esp
  mov edx, .back
  stc
  std
  sysenter
.back:
  adc SEEN, 0
  pushfd
  cld
  pop eax
  test eax, 0x400
  jz .over
  dec ebp
  jnz .next
.over:
  user_exit

sees_remaps:
  mov ebp, ROUNDS
  mov SEEN, 0
  mov esi, SHIFTING
.next:
  mov ebx, [esi]
  ask 2
  xor ebx, [esi]
  cmp ebx, 'A' ^ 'B'
  jne .over
  ask 8
  cmp eax, [esi]
  jne .over
  inc SEEN
  dec ebp
  jnz .next
.over:
  ask 0

sees_spaces:
  mov ebp, ROUNDS
  mov SEEN, 0
  mov esi, SHIFTING
.next:
  mov ebx, [esi]
  ask 3
  xor ebx, [esi]
  cmp ebx, 'A' ^ 'B'
  jne .over
  inc SEEN
  dec ebp
  jnz .next
.over:
  ask 0

returns_elsewhere:
  mov ebp, ROUNDS
  mov SEEN, 0
.next:
  call .by_iret
  mov edi, .elsewhere
  ask 5
  jmp .over
.elsewhere:
  inc SEEN
  dec ebp
  jnz .next
.over:
  ask 0
.by_iret:
  ask 4
  ret

sees_selectors:
  mov edi, (FREE0 + 16) | 3
  jmp compare_selectors
sees_usual_selectors:
  mov edi, CODE3
compare_selectors:
  mov ebp, ROUNDS
  mov SEEN, 0
.next:
  ask 1
  mov eax, cs
  cmp eax, edi
  jne .over
  mov eax, ss
  sub eax, 8
  cmp eax, edi
  jne .over
  inc SEEN
  dec ebp
  jnz .next
.over:
  ask 0

until_ticks:
  mov esi, ticks
.next:
  ask 6
  ask 8
  cmp eax, 5
  jb .next
  ask 0

leaves_without_right:
  sysexit
goes_nowhere:
  mov edi, VIRTUAL
  ask 5
loses_page:
  mov ebx, [SHIFTING]
  ask 7
  mov ebx, [SHIFTING]
  ask 0
leaves_at_once:
  ask 0
align 4096
