; Files that the user adds to the firmware configuration port: found in the directory, read to
; their ends, in the order of the command line; behind the end there are zeros.
; exit: 0
; options: -fw_cfg name=opt/ringshift/words,string=one,,two -fw_cfg opt/ringshift/number,string=42
; serial:
;   opt/ringshift/words: one,two
;   opt/ringshift/number: 42
;   2 files
%include "guest.inc"

SELECTOR  equ 0x510
DATA      equ 0x511
DIRECTORY equ 0x19
FOUND     equ SPARE               ; a copy of the directory: a count, entries of 64 bytes

main:
  mov dx, SELECTOR
  mov ax, DIRECTORY
  out dx, ax
  mov dx, DATA
  mov edi, FOUND
  mov ecx, 4 + 64 * 64
  rep insb
  mov ebx, [FOUND]
  bswap ebx
  mov esi, FOUND + 4
  xor ebp, ebp                    ; files of the user's
.next:
  cmp dword [esi + 8], 'opt/'
  jne .skip
  inc ebp
  lea eax, [esi + 8]
  call print_text
  print ": "
  mov dx, SELECTOR
  mov ax, [esi + 4]
  xchg al, ah                     ; big-endian
  out dx, ax
  mov ecx, [esi]
  bswap ecx
  mov edi, FOUND + 0x2000
  mov dx, DATA
  rep insb
  mov al, 0xff
  in al, dx
  test al, al
  jnz .not_zero
  mov byte [edi], 10
  mov byte [edi + 1], 0
  mov eax, FOUND + 0x2000
  call print_text
.skip:
  add esi, 64
  dec ebx
  jnz .next
  mov eax, ebp
  add al, '0'
  mov [count], al
  mov eax, count
  call print_text
  finish 0
.not_zero:
  fail "there is something behind the end"

count: db "0 files", 10, 0

; EAX: a text, to its zero.
print_text:
  push edx
  push ecx
  mov ecx, eax
.character:
  mov al, [ecx]
  test al, al
  jz .done
  mov dx, 0x3f8
  out dx, al
  inc ecx
  jmp .character
.done:
  pop ecx
  pop edx
  ret
