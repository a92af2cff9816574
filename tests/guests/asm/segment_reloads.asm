; Segment registers loaded again and again from descriptors that change: what is loaded is always
; what the table says now, and every check is made each time.
; exit: 0
; serial:
;   base follows
;   limit follows
;   not present: 0b 00000030
;   stack pointer kept
;   privilege: 0d 00000030
;   accessed set again
;   another table
;   another frame
;   another frame of the user's
;   absent table: 0e 00000000
;   expand-down
;   execute-only: 0d 00000030
;   null then used: 0d 00000000
;   flat again
%include "guest.inc"

S equ FREE0
WORDS equ VIRTUAL                  ; two frames with different words are mapped here
OTHER_GDT equ SPARE + 0x2000

; Loads FS from S, twice from a register and twice by POP, so that the last is a repeated one.
load_fs:
  mov eax, S
  mov ecx, 2
.again:
  mov fs, eax
  push dword S
  pop fs
  loop .again
  ret

; Prints vector and error code of the fault that was caught.
tell:
  mov eax, [fault_vector]
  call print_byte
  print " "
  mov eax, [fault_error]
  call print_hex
  say ""
  ret

main:
  call paging_on
  mov dword [SPARE], 0x11111111
  mov dword [SPARE + 0x1000], 0x22222222

  gdt_entry S, SPARE, 0xfffff, 0xc093
  call load_fs
  check_equal [fs:0], 0x11111111, "first base"
  gdt_entry S, SPARE + 0x1000, 0xfffff, 0xc093
  call load_fs
  check_equal [fs:0], 0x22222222, "second base"
  say "base follows"

  gdt_entry S, SPARE, 3, 0x4093
  call load_fs
  check_equal [fs:0], 0x11111111, "inside the limit"
  try .beyond
  mov eax, [fs:4]
  fail "no limit"
.beyond:
  check_equal [fault_vector], 13, "limit"
  say "limit follows"

  gdt_entry S, SPARE, 0xfffff, 0xc093
  call load_fs
  and byte [gdt + S + 5], 0x7f
  try .absent
  mov eax, S
  mov fs, eax
  fail "not present"
.absent:
  print "not present: "
  call tell
  mov [saved_esp], esp
  try .absent_pop
  push dword S
  pop fs
  fail "not present, pop"
.absent_pop:
  mov ecx, esp
  check_equal [saved_esp], ecx, "esp of the fault"
  or byte [gdt + S + 5], 0x80
  call load_fs
  mov eax, esp
  push dword S
  pop fs
  mov ecx, esp
  check_equal eax, ecx, "pop moves esp"
  say "stack pointer kept"

  gdt_entry S, SPARE, 0xfffff, 0xc0f3
  mov eax, S + 3
  mov fs, eax
  mov fs, eax
  and byte [gdt + S + 5], 0x9f     ; DPL 0 is not for RPL 3
  try .privilege
  mov fs, eax
  fail "privilege"
.privilege:
  print "privilege: "
  call tell

  gdt_entry S, SPARE, 0xfffff, 0xc093
  call load_fs
  and byte [gdt + S + 5], 0xfe
  call load_fs
  movzx eax, byte [gdt + S + 5]
  check_equal eax, 0x93, "accessed"
  say "accessed set again"

  mov esi, gdt
  mov edi, OTHER_GDT
  mov ecx, 64
  rep movsd
  mov word [OTHER_GDT + S + 2], 0x1000   ; base SPARE + 0x1000
  call load_fs
  check_equal [fs:0], 0x11111111, "first table"
  lgdt [other_pointer]
  call load_fs
  check_equal [fs:0], 0x22222222, "second table"
  lgdt [gdt_pointer]
  call load_fs
  check_equal [fs:0], 0x11111111, "first table again"
  say "another table"

  ; The table at a linear address whose frame changes.
  mov edi, SPARE + 0x3000
  mov esi, gdt
  mov ecx, 64
  rep movsd
  map VIRTUAL, (SPARE + 0x2000) | P | W
  lgdt [virtual_pointer]
  call load_fs
  check_equal [fs:0], 0x22222222, "first frame"
  map VIRTUAL, (SPARE + 0x3000) | P | W
  invlpg [VIRTUAL]
  call load_fs
  check_equal [fs:0], 0x11111111, "second frame"
  say "another frame"

  ; The same of a page that ring 3 may read, which the supervisor's window does not hold.
  map VIRTUAL, (SPARE + 0x2000) | P | W | U
  invlpg [VIRTUAL]
  lgdt [virtual_pointer]
  call load_fs
  call load_fs
  check_equal [fs:0], 0x22222222, "first frame"
  mov word [VIRTUAL + S + 2], 0    ; base SPARE
  call load_fs
  check_equal [fs:0], 0x11111111, "its descriptor changed"
  mov word [VIRTUAL + S + 2], 0x1000
  call load_fs
  check_equal [fs:0], 0x22222222, "and back"
  map VIRTUAL, (SPARE + 0x3000) | P | W | U
  invlpg [VIRTUAL]
  call load_fs
  call load_fs
  check_equal [fs:0], 0x11111111, "second frame"
  map VIRTUAL, (SPARE + 0x2000) | P | W | U
  call flush_tlb
  call load_fs
  call load_fs
  check_equal [fs:0], 0x22222222, "first frame again"
  say "another frame of the user's"
  map VIRTUAL, (SPARE + 0x3000) | P | W
  invlpg [VIRTUAL]
  call load_fs
  lgdt [gdt_pointer]

  map VIRTUAL, 0
  invlpg [VIRTUAL]
  ; The descriptor S is the first on a page that is absent; those before it are there.
  mov esi, gdt
  mov edi, SPARE + 0x4000 - S
  mov ecx, S / 4
  rep movsd
  map VIRTUAL - 0x1000, (SPARE + 0x3000) | P | W
  lgdt [split_pointer]
  try .gone
  mov eax, S
  mov fs, eax
  fail "absent table"
.gone:
  lgdt [gdt_pointer]
  check_equal [fault_address], VIRTUAL, "cr2"
  print "absent table: "
  call tell

  gdt_entry S, SPARE, 0, 0x4097     ; expand-down: above its limit only
  call load_fs
  check_equal [fs:0x1000], 0x22222222, "above"
  try .below
  mov eax, [fs:0]
  fail "below"
.below:
  check_equal [fault_vector], 13, "below the limit"
  say "expand-down"

  gdt_entry S, 0, 0xfffff, 0xc099
  try .execute
  mov eax, S
  mov fs, eax
  fail "execute-only"
.execute:
  print "execute-only: "
  call tell

  xor eax, eax
  mov fs, eax
  mov fs, eax
  try .null
  mov eax, [fs:SPARE]
  fail "null"
.null:
  print "null then used: "
  call tell

  ; ES away from flat and back, in a loop that runs translated when it is flat.
  gdt_entry S, SPARE + 0x1000, 0xfffff, 0xc093
  mov ecx, 5
.es:
  mov eax, S
  mov es, eax
  check_equal [es:0], 0x22222222, "es"
  push dword DATA0
  pop es
  check_equal [es:SPARE], 0x11111111, "flat es"
  dec ecx
  jnz .es
  say "flat again"
  finish 0

align 4
other_pointer:
  dw 255
  dd OTHER_GDT
virtual_pointer:
  dw 255
  dd VIRTUAL
split_pointer:
  dw 255
  dd VIRTUAL - S
saved_esp: dd 0
