; Rights of a long-running ring-3 program's pages, changed under it: read-only, supervisor, absent,
; another frame, and back; each seen after INVLPG or a CR3 load, whatever has been cached since it
; began. What ring 0 has touched does not become readable.
; exit: 0
; serial:
;   round 00000000
;   read 11111111
;   written 22222222
;   fault 0e error 00000007
;   read 22222222
;   fault 0e error 00000005
;   fault 0e error 00000004
;   fault 0e error 00000006
;   read 33333333
;   read 22222222
;   kernel wrote 44444444
;   fault 0e error 00000005
;   pushed 55555555
;   round 00000001
;   read 11111111
;   written 22222222
;   fault 0e error 00000007
;   read 22222222
;   fault 0e error 00000005
;   fault 0e error 00000004
;   fault 0e error 00000006
;   read 33333333
;   read 22222222
;   kernel wrote 44444444
;   fault 0e error 00000005
;   pushed 55555555
%include "guest.inc"

DATA equ VIRTUAL
FRAME_A equ SPARE
FRAME_B equ SPARE + 0x1000

%macro in_user 1
  mov eax, %1
  mov edx, USER_STACK
  call run_user
%endmacro

%macro user_fault 1
  try %%caught
  in_user %1
  fail "ring 3 came back"
%%caught:
  call report_fault
%endmacro

%macro remap 1
  map DATA, %1
  invlpg [DATA]
%endmacro

main:
  call paging_on
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  call flush_tlb
  xor esi, esi
  call round
  in_user warm                    ; long enough for any policy to take it for a working program
  mov esi, 1
round:
  print "round "
  mov eax, esi
  call print_hex
  say ""
  mov dword [FRAME_A], 0x11111111
  mov dword [FRAME_B], 0x33333333
  remap FRAME_A | P | W | U
  in_user reads
  in_user writes
  remap FRAME_A | P | U
  user_fault writes
  in_user reads
  remap FRAME_A | P | W
  mov eax, [DATA]
  mov [DATA + 4], eax
  user_fault reads_bare
  remap 0
  user_fault reads_bare
  user_fault writes
  map DATA, FRAME_B | P | W | U
  call flush_tlb
  in_user reads
  map DATA, FRAME_A | P | W | U
  call flush_tlb
  in_user reads
  mov dword [FRAME_A], 0x44444444
  print "kernel wrote "
  in_user reads_bare
  mov eax, [STACK_TOP - 0x100]
  mov [STACK_TOP - 0x100], eax
  user_fault reads_kernel_stack
  in_user pushes
  ret

align 4096
user_code:
warm:
  mov ecx, 20000
.next:
  mov eax, 3
  int 0x80
  mov eax, [USER_STACK - 0x800]
  inc dword [USER_STACK - 0x800]
  loop .next
  user_exit
reads:
  mov ebx, 'r'
  call character
  mov ebx, 'e'
  call character
  mov ebx, 'a'
  call character
  mov ebx, 'd'
  call character
  mov ebx, ' '
  call character
reads_bare:
  mov ebx, [DATA]
  mov eax, 1
  int 0x80
  user_exit
writes:
  mov dword [DATA], 0x22222222
  mov esi, written
  call text
  mov ebx, [DATA]
  mov eax, 1
  int 0x80
  user_exit
reads_kernel_stack:
  mov eax, [STACK_TOP - 0x100]
  user_exit
pushes:
  push dword 0x55555555
  pop ecx
  mov esi, pushed
  call text
  mov ebx, ecx
  mov eax, 1
  int 0x80
  user_exit
text:
  movzx ebx, byte [esi]
  test ebx, ebx
  jz .done
  call character
  inc esi
  jmp text
.done:
  ret
character:
  mov eax, 2
  int 0x80
  ret
written: db "written ", 0
pushed: db "pushed ", 0
align 4096
