; Data segment registers loaded again and again in 16-bit code, from an LDT and in ring 3, while their
; descriptors, their tables and the ring change: what is loaded is always what the table says now.
; exit: 0
; serial:
;   16-bit, base follows: 1111 2222
;   16-bit, pop: 2222
;   16-bit, from memory: 2222
;   16-bit, far pointer: 2222 1111 0b 00000030
;   16-bit, limit follows: 0d 00000000
;   16-bit, read-only: 0d 00000000
;   16-bit, not present: 0b 00000030
;   16-bit, null: 0d 00000000
;   local table: 11111111 22222222
;   another local table: 11111111
;   beyond the local table: 0d 0000000c
;   no local table: 0d 0000000c
;   ring 3: 11111111 22222222
;   ring 3, pop: 22222222
;   ring 3, of ring 0: 0d 00000030
;   ring 3, not present: 0b 00000030
;   ring 3, ring 0 was there before: 0d 00000010
;   ring 3, the table in another frame: 11111111
;   ring 0 again: 11111111
%include "guest.inc"

S equ FREE0                        ; what is loaded
CODE16 equ FREE0 + 8
DATA16 equ FREE0 + 16
STACK16 equ FREE0 + 24
LDT0 equ FREE0 + 32
LDT1 equ FREE0 + 40
LOCAL equ 0x0c                     ; of an LDT: its second entry

AT_16 equ 0x30000
FIRST_LDT equ SPARE + 0x2000
SECOND_LDT equ SPARE + 0x2100
RESULT equ USER_STACK - 0x800

%macro sixteen 1
  mov dword [entry], (%1) - code_16
  call run_sixteen
%endmacro

%macro faulting_sixteen 1
  mov dword [entry], (%1) - code_16
  try %%fault
  call run_sixteen
  fail "no fault"
%%fault:
  call tell
%endmacro

%macro user 1
  mov eax, %1
  mov edx, USER_STACK
  call run_user
%endmacro

%macro faulting_user 1
  try %%fault
  user %1
  fail "no fault"
%%fault:
  call tell
%endmacro

main:
  mov dword [SPARE], 0x11111111
  mov dword [SPARE + 0x1000], 0x22222222
  mov esi, code_16
  mov edi, AT_16
  mov ecx, code_16_end - code_16
  rep movsb
  gdt_entry CODE16, AT_16, 0xffff, 0x009b
  gdt_entry DATA16, AT_16, 0xffff, 0x0093
  gdt_entry STACK16, 0, 0xffff, 0x0093

  print "16-bit, base follows: "
  gdt_entry S, SPARE, 0xffff, 0x0093
  sixteen load
  call show_word
  print " "
  gdt_entry S, SPARE + 0x1000, 0xffff, 0x0093
  sixteen load
  call show_word
  print 10, "16-bit, pop: "
  sixteen load_pop
  call show_word
  print 10, "16-bit, from memory: "
  sixteen load_memory
  call show_word
  print 10, "16-bit, far pointer: "
  sixteen load_pointer
  call show_word
  print " "
  gdt_entry S, SPARE, 0xffff, 0x0093
  sixteen load_pointer
  call show_word
  print " "
  gdt_entry S, SPARE + 0x1000, 0xffff, 0x0013
  faulting_sixteen load_pointer
  gdt_entry S, SPARE + 0x1000, 0xffff, 0x0093
  print "16-bit, limit follows: "
  sixteen load_far_end
  gdt_entry S, SPARE + 0x1000, 0x0fff, 0x0093
  faulting_sixteen load_far_end
  print "16-bit, read-only: "
  gdt_entry S, SPARE + 0x1000, 0xffff, 0x0093
  sixteen load_and_write
  gdt_entry S, SPARE + 0x1000, 0xffff, 0x0091
  faulting_sixteen load_and_write
  print "16-bit, not present: "
  gdt_entry S, SPARE + 0x1000, 0xffff, 0x0013
  faulting_sixteen load
  print "16-bit, null: "
  faulting_sixteen load_null

  call paging_on
  print "local table: "
  gdt_entry LDT0, FIRST_LDT, 0x0f, 0x0082
  gdt_entry LDT1, SECOND_LDT, 0x0f, 0x0082
  mov ebx, FIRST_LDT + 8
  mov ecx, SPARE
  call set_local
  mov ebx, SECOND_LDT + 8
  mov ecx, SPARE
  call set_local
  mov eax, LDT0
  lldt ax
  call load_local
  print " "
  mov ebx, FIRST_LDT + 8
  mov ecx, SPARE + 0x1000
  call set_local
  call load_local
  say ""
  print "another local table: "
  mov eax, LDT1
  lldt ax
  call load_local
  say ""
  print "beyond the local table: "
  gdt_entry LDT1, SECOND_LDT, 0x0e, 0x0082
  mov eax, LDT1
  lldt ax
  try .beyond
  call load_local
  fail "no fault"
.beyond:
  call tell
  print "no local table: "
  xor eax, eax
  lldt ax
  try .none
  call load_local
  fail "no fault"
.none:
  call tell

  mov ecx, addr(user_first)
.user:
  mov eax, ecx
  shr eax, 12
  or dword [PAGE_TABLES + eax * 4], U
  add ecx, 0x1000
  cmp ecx, addr(user_last)
  jbe .user
  user_page USER_STACK - 0x1000
  user_page SPARE
  user_page SPARE + 0x1000
  call flush_tlb
  print "ring 3: "
  gdt_entry S, SPARE, 0xfffff, 0xc0f3
  user load_user
  mov eax, [RESULT]
  call print_hex
  print " "
  gdt_entry S, SPARE + 0x1000, 0xfffff, 0xc0f3
  user load_user
  mov eax, [RESULT]
  call print_hex
  say ""
  print "ring 3, pop: "
  user pop_user
  mov eax, [RESULT]
  call print_hex
  say ""
  print "ring 3, of ring 0: "
  gdt_entry S, SPARE + 0x1000, 0xfffff, 0xc093
  faulting_user load_user
  print "ring 3, not present: "
  gdt_entry S, SPARE + 0x1000, 0xfffff, 0xc073
  faulting_user load_user
  print "ring 3, ring 0 was there before: "
  mov ecx, 4
.ring_0:
  mov eax, DATA0
  mov fs, eax
  mov es, eax
  loop .ring_0
  faulting_user load_data0

  print "ring 3, the table in another frame: "
  gdt_entry S, SPARE + 0x1000, 0xfffff, 0xc0f3
  mov esi, gdt
  mov edi, SPARE + 0x3000
  mov ecx, 64
  rep movsd
  mov esi, gdt
  mov edi, SPARE + 0x4000
  mov ecx, 64
  rep movsd
  mov word [SPARE + 0x4000 + S + 2], 0   ; base SPARE
  map VIRTUAL, (SPARE + 0x3000) | P | W
  lgdt [virtual_pointer]
  user load_user
  user load_user
  map VIRTUAL, (SPARE + 0x4000) | P | W
  mov eax, cr3
  mov cr3, eax
  user load_user
  mov eax, [RESULT]
  call print_hex
  say ""
  lgdt [gdt_pointer]
  print "ring 0 again: "
  gdt_entry S, SPARE, 0xfffff, 0xc093
  mov ecx, 4
.again:
  mov eax, S
  mov fs, eax
  loop .again
  mov eax, [fs:0]
  call print_hex
  say ""
  ret

; A descriptor of writable data at EBX, base ECX below 16 MiB.
set_local:
  mov word [ebx], 0xffff
  mov [ebx + 2], cx
  shr ecx, 16
  mov [ebx + 4], cl
  mov word [ebx + 5], 0xcf93
  mov byte [ebx + 7], 0
  ret

load_local:
  mov ecx, 4
.again:
  mov eax, LOCAL
  mov fs, eax
  loop .again
  mov eax, [fs:0]
  jmp print_hex

show_word:
  push eax
  shr eax, 8
  call print_byte
  pop eax
  jmp print_byte

tell:
  mov ecx, DATA0
  mov ds, ecx
  mov es, ecx
  mov ss, ecx
  mov eax, [fault_vector]
  call print_byte
  print " "
  mov eax, [fault_error]
  call print_hex
  say ""
  ret

run_sixteen:
  mov [saved_esp], esp
  mov eax, [entry]
  jmp CODE16:enter_16 - code_16
back:
  mov cx, DATA0
  mov ds, cx
  mov es, cx
  mov ss, cx
  mov esp, [saved_esp]
  movzx eax, ax
  ret

virtual_pointer:
  dw 255
  dd VIRTUAL
align 4
saved_esp: dd 0
entry: dd 0

bits 16
code_16:
enter_16:
  mov cx, DATA16
  mov ds, cx
  mov cx, STACK16
  mov ss, cx
  mov esp, 0x7000
  jmp ax
load:
  mov cx, 5
.again:
  mov ax, S
  mov es, ax
  loop .again
  mov ax, [es:0]
  jmp dword CODE0:back
load_pop:
  mov cx, 5
.again:
  push word S
  pop es
  loop .again
  cmp sp, 0x7000
  jne .wrong
  mov ax, [es:0]
.wrong:
  jmp dword CODE0:back
load_memory:
  mov word [0x8000], S
  mov cx, 5
.again:
  mov es, [0x8000]
  loop .again
  mov ax, [es:0]
  jmp dword CODE0:back
load_pointer:                     ; the register that is loaded is part of the address, too
  mov word [0x8004], 0x10
  mov word [0x8006], S
  mov cx, 5
.again:
  mov bx, 0x8000
  les bx, [bx + 4]
  cmp bx, 0x10
  jne .wrong
  loop .again
  mov ax, [es:bx - 0x10]
.wrong:
  jmp dword CODE0:back
load_far_end:
  mov cx, 5
.again:
  mov ax, S
  mov es, ax
  mov ax, [es:0x1ffe]
  loop .again
  jmp dword CODE0:back
load_and_write:
  mov cx, 5
.again:
  mov ax, S
  mov es, ax
  mov [es:0x20], ax
  loop .again
  jmp dword CODE0:back
load_null:
  mov cx, 5
.again:
  xor ax, ax
  mov es, ax
  loop .again
  mov ax, [es:0]
  jmp dword CODE0:back
code_16_end:
bits 32

align 4096
user_first:
load_user:
  mov ecx, 20
.again:
  mov eax, S | 3
  mov fs, eax
  mov eax, [fs:0]
  loop .again
  mov [RESULT], eax
  user_exit
pop_user:
  mov ecx, 20
.again:
  push dword S | 3
  pop fs
  mov eax, [fs:0]
  loop .again
  cmp esp, USER_STACK
  jne .wrong
  mov [RESULT], eax
.wrong:
  user_exit
load_data0:
  mov ecx, 20
  mov eax, DATA0
  mov fs, eax
  user_exit
user_last:
