; A small kernel with a planted fault: at each tick it hashes its table and copies a message of another
; length. One message is as long as its buffer and four bytes more: the last four are where a pointer
; to a function is, which is called much later. TICKS and BAD_TICK may be given.
[map symbols corruption.map]
%include "guest.inc"

%ifndef TICKS
%define TICKS 300                 ; of 10 ms
%endif
%ifndef BAD_TICK
%define BAD_TICK 40
%endif
MESSAGE equ 0x50000000            ; no address of a function: nothing is there

%ifndef WORK
%define WORK 20                   ; rounds of hashing a tick
%endif

main:
  call paging_on
  mov ecx, 1193182 / 100
  call start_timer
  sti
wait_for_tick:
  hlt
  mov eax, [ticks]
  cmp eax, [seen]
  je wait_for_tick
  mov [seen], eax
  call do_work
  call send_message
  cmp dword [seen], TICKS
  jb wait_for_tick
report:
  say "reporting"
  call [on_report]                ; the crash: this is no function any more
  say "reported"
  finish 0

do_work:
  mov edx, WORK
.round:
  call hash_table
  dec edx
  jnz .round
  ret

hash_table:
  xor eax, eax
  mov ecx, 64
  mov esi, table
.next:
  rol eax, 5
  xor eax, [esi]
  add esi, 4
  loop .next
  mov [hash], eax
  mov [last_hash], eax            ; on the page of the pointer
  ret

; Tick N sends 4 to 16 words, but 17 at BAD_TICK: the buffer has room for 16.
send_message:
  push ebp
  mov ebp, esp
  mov ecx, [seen]
  and ecx, 12
  add ecx, 4
  cmp dword [seen], BAD_TICK
  jne .length_known
  mov ecx, 17
.length_known:
  mov edi, buffer
  call copy_words
after_copy:
  inc dword [sent]
  pop ebp
  ret

copy_words:
  push ebp
  mov ebp, esp
  mov eax, [seen]
  or eax, MESSAGE
copy_word:
  mov [edi], eax
copied:
  add edi, 4
  loop copy_word
  pop ebp
  ret

good_report:
  ret

align 4
seen: dd 0
sent: dd 0
hash: dd 0
table: times 64 dd 0x12345678
align 4096
buffer: times 16 dd 0
on_report: dd good_report
last_hash: dd 0
