; Two address spaces with different code at the same linear address: ring 0 calls from a shared page
; into the differing page and back, and the differing page calls on into a second differing page.
; exit: 0
; serial:
;   first 00000011 second 00000022
;   first 00000011 second 00000022
;   sum 00003300
%include "guest.inc"

OTHER_DIR    equ SPARE + 0x10000
OTHER_TABLES equ SPARE + 0x11000
CODE_A       equ VIRTUAL          ; call CODE_B; add eax, imm8; ret
CODE_B       equ VIRTUAL + 0x1000 ; mov eax, imm32; ret

; %1: the frames' base, %2: low value, %3: high value
%macro place 3
  mov byte [%1], 0xe8
  mov dword [%1 + 1], CODE_B - (CODE_A + 5)
  mov dword [%1 + 5], 0xc300c083 | (%2 << 16)
  mov dword [%1 + 0x1000], 0xb8 | (%3 << 8)
  mov word [%1 + 0x1004], 0xc300
%endmacro

main:
  call make_page_tables
  place SPARE, 1, 0x10
  place SPARE + 0x2000, 2, 0x20
  map CODE_A, SPARE | P | W
  map CODE_B, SPARE + 0x1000 | P | W
  mov esi, PAGE_DIR               ; the other space: a copy with other frames there
  mov edi, OTHER_DIR
  mov ecx, 1024
  rep movsd
  mov esi, PAGE_TABLES + 0x2000
  mov edi, OTHER_TABLES
  mov ecx, 1024
  rep movsd
  mov dword [OTHER_DIR + (VIRTUAL >> 22) * 4], OTHER_TABLES | P | W
  mov dword [OTHER_TABLES], SPARE + 0x2000 | P | W
  mov dword [OTHER_TABLES + 4], SPARE + 0x3000 | P | W
  call enable_paging
  call show
  call show
  xor ebx, ebx
  mov ecx, 256
.next:
  call both
  add ebx, eax
  loop .next
  print "sum "
  mov eax, ebx
  call print_hex
  say ""
  ret

; EAX: 0x11 from one space, EDX 0x22 from the other; EAX their sum
both:
  mov eax, PAGE_DIR
  mov cr3, eax
  call CODE_A
  mov esi, eax
  mov eax, OTHER_DIR
  mov cr3, eax
  call CODE_A
  mov edi, eax
  add eax, esi
  ret

show:
  call both
  print "first "
  mov eax, esi
  call print_hex
  print " second "
  mov eax, edi
  call print_hex
  say ""
  ret
